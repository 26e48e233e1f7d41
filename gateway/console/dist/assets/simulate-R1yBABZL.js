import{a as e,H as t}from"./base-BiJl5cRU.js";function r(a){return e("div",{class:"page",children:e(t,{title:"Simulate"})})}export{r as Simulate};
