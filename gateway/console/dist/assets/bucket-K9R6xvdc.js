import{a as t,H as e}from"./base-BiJl5cRU.js";function r(i){return t("div",{class:"page",children:t(e,{title:"BucketSettings"})})}export{r as BucketSettings};
