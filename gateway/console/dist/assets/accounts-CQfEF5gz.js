import{a as t,H as c}from"./base-BiJl5cRU.js";function o(e){return t("div",{class:"page",children:t(c,{title:"Accounts"})})}export{o as Accounts};
